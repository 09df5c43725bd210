"""From a stranger's file to a policy that can run."""
