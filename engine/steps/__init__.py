"""What one actor does: an event taken, its transition carried out, its activity run, and everything let go."""
