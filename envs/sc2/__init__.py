"""The live game: StarCraft II through pysc2, and through the official SMAC package."""
