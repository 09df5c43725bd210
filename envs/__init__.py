"""Where agents live: the environments, numpy at import and everything heavy on first use."""
