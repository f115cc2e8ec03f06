"""Charts: numbers to coordinates, and nothing else. The words, the drawing and the table are the templates'."""
