"""Running a training: callbacks, loggers, schedules, checkpoints."""
