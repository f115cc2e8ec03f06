"""What people are told outside the pages, and how it leaves: an outbox."""
