"""Where facts become text for people: terminal, report page, sentences of the result, and dry run."""
