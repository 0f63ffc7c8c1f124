"""The commands: parsing, printing and resuming. What they do is done by the floors below."""
