"""Sans-IO replay: events in, a decision out. Time and identity come from history; nothing here does I/O."""
