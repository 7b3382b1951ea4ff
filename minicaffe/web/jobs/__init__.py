"""Jobs of this computer: a queue of commands that the board runs, and signals to trainings.

FOLDER/.minicaffe/
  jobs.json        the queue (`JobStore`)
  jobs.lock        is locked while the queue is changed
  jobs/N.json      what the process of job N says of itself; locked as long as it lives
  jobs/N.log       what it prints
"""
