"""A class: submissions, the box they run in, their marks, and what is handed out."""
