"""Networks, losses and learners: from a batch of episodes to a gradient step."""
