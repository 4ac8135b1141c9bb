"""The explorer: a live ViT to poke at, in a notebook and on a web page, with no server."""
