"""One agent: a process that loads one model file and answers with actions. Never imports the host."""
