"""The grids behind the trained claims: what is trained, with which seeds, and what is measured on it."""
