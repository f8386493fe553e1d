"""Where the documents are, and what each page says first."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE = "<!-- Made by docs/generate.py (`make docs`); not to be edited by hand. -->"
