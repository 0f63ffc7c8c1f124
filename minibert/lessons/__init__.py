"""The lessons: what builds, checks and shows them. Their sources are in the checkout's folder lessons/source."""

# The path through the lessons, as the map shows it: the machine, text and learning, smaller models and their claims.
COURSE = (
    (("01", "Attention"), ("02", "Heads and masks"), ("03", "The encoder block")),
    (("04", "Words into pieces"), ("05", "BERT"), ("06", "Pre-training")),
    (("07", "DistilBERT"), ("08", "Distillation"), ("09", "ALBERT"), ("10", "The claims")),
)
