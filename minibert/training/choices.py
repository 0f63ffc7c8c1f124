"""The names of reviews, objectives, ways to mask and students to choose from. Imports nothing, so that the command
line's --help can list them at once."""

SOURCES = ("imdb", "rotten-tomatoes", "both")  # of reviews: see data.py
# What a model is pre-trained on: see recipes.py
OBJECTIVES = ("mlm", "mlm+nsp", "mlm+sop", "full-sentences", "permutation", "infilling")
VOCAB_SIZE = 8000  # tokens of a vocabulary that is learned, unless another number is asked for
VOCABULARIES = ("wordpiece", "byte-bpe", "xlnet-unigram")  # kinds of vocabulary: see vocabularies.py
MASKINGS = ("tokens", "whole-words", "ngrams", "rarity")  # how the words to guess are chosen: see tasks.py
SOFT_TARGETS = ("masked", "all")  # where the teacher's probabilities are compared: see tasks.py
INITS = ("alternate", "released", "first", "last", "random")  # what a student starts from: see distillation.py
