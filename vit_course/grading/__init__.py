"""Grading a class: collect what students handed in, mark it apart from their code, report."""
