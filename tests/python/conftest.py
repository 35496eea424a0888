# SPDX-License-Identifier: Apache-2.0
"""Fixtures: paths, shared data, tiny models and a tokenizer made once a session. Nothing is downloaded."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest  # noqa: E402

import models  # noqa: E402
from pref_command import ROOT  # noqa: E402

SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Real preference pairs and tokenizers, kept beside the repository where available."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the data folder ../shared/data, which is not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def long_tests():
    if os.environ.get("PREF_LONG_TESTS") != "1":
        pytest.skip("long form; run with tests/run.sh --long")


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A sentencepiece model, as bytes."""
    return models.train_tiny_tokenizer()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, tiny_tokenizer):
    """tiny_model(family) is the folder of a random model of that family (models.FAMILIES), made once."""
    folders = {}

    def make(family):
        if family not in folders:
            folder = tmp_path_factory.mktemp(family)
            folders[family] = models.save_tiny_model(folder, family, tiny_tokenizer)
        return folders[family]

    return make
