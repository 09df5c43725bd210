"""Learning curves of runs: read, summarised over seeds, drawn."""
