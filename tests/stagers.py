"""What the tests of the classifier share: short nights and little training."""

# Short nights that hold all five stages.
SEEDS = (3, 10, 69)
# Little training: these tests ask how things fit together, not how well it stages.
QUICK = {
    "picks": "EEG Fpz-Cz",
    "sequence_length": 10,
    "batch_size": 8,
    "pretrain_train_epochs": 1,
    "finetune_train_epochs": 2,
    "random_state": 0,
}
