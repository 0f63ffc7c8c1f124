"""The lessons: what builds, checks and shows them. Their sources are in the checkout's folder lessons/source."""

# The path through the lessons, as the map shows it: the machine; text and learning; smaller models; the rest of the
# family; and what of all this is true.
COURSE = (
    (("01", "Attention"), ("02", "Heads"), ("03", "Masks and padding"), ("04", "The encoder block")),
    (("05", "Words into pieces"), ("06", "BERT"), ("07", "Pre-training"), ("08", "Fine-tuning")),
    (("09", "DistilBERT"), ("10", "ALBERT"), ("11", "RoBERTa"), ("12", "MobileBERT")),
    (("13", "XLNet"), ("14", "BART"), ("15", "The claims")),
)
