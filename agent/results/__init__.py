"""The results of a run: files, figures, report and exports."""
