"""A language model that the tests build."""

from __future__ import annotations

from pathlib import Path


def tiny_bert(folder: Path) -> Path:
    """A BERT of two layers that has never learned anything; knows word0, word1, ..."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "word", *(f"##{i}" for i in range(10))]
    core = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{k}_token": f"[{k.upper()}]" for k in ("pad", "unk", "cls", "sep")}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **special)
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16, initializer_range=0.5,
    )  # fmt: skip
    transformers.BertModel(config).eval().save_pretrained(folder, safe_serialization=True)
    return folder


def tiny_gpt(folder: Path, *, spelled: bool = False) -> Path:
    """A GPT of two layers that has never learned anything; knows any text, letter by letter.

    With `spelled` false, each of word0 to word9 is a token of its own.
    """
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = pre_tokenizers.ByteLevel.alphabet()
    pieces = ["<|end|>", *sorted(letters)]
    merges: list[tuple[str, str]] = []
    if not spelled:
        for pair in (("\u0120", "w"), ("\u0120w", "o"), ("\u0120wo", "r"), ("\u0120wor", "d")):
            merges.append(pair)
        merges += [("\u0120word", str(i)) for i in range(10)]
        pieces += ["".join(pair) for pair in merges]
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<|end|>", eos_token="<|end|>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(pieces), n_embd=16, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=0, eos_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).eval().save_pretrained(folder, safe_serialization=True)
    return folder
