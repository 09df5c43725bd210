"""Where the project lies, for tests that start its commands or read its files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
