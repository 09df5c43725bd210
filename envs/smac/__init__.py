"""SMAC's maps, units, layout and reward: one implementation for the simulator and the live game."""
