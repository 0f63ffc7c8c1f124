"""What is trained, timed and tried for the claims of the ledger: the measurements, without a verdict.

Reading order: grid (what an experiment is, and how one is resumed), tasks and finetuning, students and pretraining
(what the experiments share), then one file per experiment, named after its question:

    E1  retention           what a distilled student keeps of its teacher, on six tasks                 (D3)
    E2  losses              which of DistilBERT's losses matters                                        (D6)
    E3  sharing             what ALBERT's savings cost                                                  (A3)
    E4  masking_and_pairs   static or dynamic masking; sentence order, next sentence or no pair task    (A8, R1, R2)
    E5  training_speed      how fast ALBERT trains, on one device and on several                        (A2)
    E6  relatives           large batches, MobileBERT, XLNet and BART, each beside a BERT               (R3, M3, X1, B1)

The parts of E6 are large_batches, mobile, permuting and restoring.
speed times models in use (D2, A2-inference), and tried runs a few lines of code (D4, D8). statistics computes how much
a few seeds and a finite test set can tell. The verdicts are in minibert.claims.
"""
