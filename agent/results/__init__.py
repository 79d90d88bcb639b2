"""The results of a run: its files, history, gain and exports."""
