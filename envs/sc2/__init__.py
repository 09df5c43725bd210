"""Plays SMAC on the live game, StarCraft II, through pysc2 or through the official SMAC package."""
