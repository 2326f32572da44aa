"""What a run shows: figure, tables, JSON, HTML, and the terminal."""
