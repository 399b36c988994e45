"""What a training costs on more machines and photographs than are here: measured, then reckoned."""
