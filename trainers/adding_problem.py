"""Trains an RNN and an LSTM on the adding problem and compares them.

python -m kerasdl.trainers.adding_problem --workdir=runs/adding
"""

from kerasdl.training import command

if __name__ == "__main__":
    command.train("adding")
