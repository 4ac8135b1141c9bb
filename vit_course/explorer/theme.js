// Light or dark, as what is around: the browser's wish on a page; in a notebook the theme that is chosen there.

function isDark(element) {
  for (let at = element; at; at = at.parentElement) {
    const [red, green, blue, alpha = 1] = getComputedStyle(at).backgroundColor.match(/[\d.]+/g).map(Number);
    if (alpha > 0.5) return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Keep `root.dataset.theme` at "light" or "dark". Returns a function that ends it. */
export function followTheme(root) {
  const update = () => (root.dataset.theme = isDark(root.parentElement ?? document.body) ? "dark" : "light");
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const watch = new MutationObserver(update);
  for (const one of [document.documentElement, document.body]) watch.observe(one, { attributes: true });
  wish.addEventListener("change", update);
  update();
  return () => {
    watch.disconnect();
    wish.removeEventListener("change", update);
  };
}
