"""Figures and their uncertainty, from labels alone: pure, standard library only, no files, no clock, no numpy."""
