"""How the admin site writes times; the pages of the house have filters of their own."""
