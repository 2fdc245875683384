"""What eval_words.py prints, and which goals were met."""

from __future__ import annotations

from typing import Any


def goals(result: dict[str, Any]) -> dict[str, bool]:
    """Compare with what is asked for on the twelve people of the project's data.

    Parameters
    ----------
    result : dict
        Figures; goals of maps that were not fitted are left out.
    """
    met: dict[str, bool] = {}
    if own := result.get("own"):
        met["own map at least .542"] = own["rank_accuracy"] >= 0.542
        met["own map, permuted labels .500 +- .003"] = abs(result["own_shuffled"] - 0.5) <= 0.003
    if ideas := result.get("ideas"):
        met["category from runs at least .545"] = ideas["rank_accuracy"] >= 0.545
        met["category from runs above that of single words"] = (
            ideas["rank_accuracy"] > ideas["single"]
        )
    if prior := result.get("prior"):
        met["with others at least .549"] = prior["rank_accuracy"] >= 0.549
        met["with others at least 11 of 12 better than today's"] = (
            prior["n_better"] >= 11 / 12 * result["n_people"]
        )
        met["with others p below 1e-5"] = prior["p"] is not None and prior["p"] < 1e-5
    if group := result.get("group"):
        met["others alone at least .53"] = group["rank_accuracy"] >= 0.53
    return met


def report(result: dict[str, Any]) -> None:
    print("first half trains, second half tests; single trials; chance of rank accuracy 0.500")
    if "subjects" in result:
        _people(result)
        _today(result)
        print(f"{'category':<20} {'rank':>6} {'p':>8} {'within category':>16}")
        for row in result["categories"]:
            print(
                f"{row['category']:<20} {row['rank_accuracy']:>6.3f} {_p(row['p']):>8} "
                f"{row['within_category']:>16.3f}"
            )
    if not result["n_others"]:
        print("no other people: no prior, no group map")
    _maps(result)
    if "unseen" in result:
        new, ceilings = result["unseen"], result["ceiling"]
        print(
            f"unseen words, among one of each category: {new['rank_accuracy']:.4f}; null "
            f"{new['null']:.4f}, 95 % below {new['null_95']:.4f}, p {new['p']:.3f}"
        )
        if ideas := result["ideas"]:
            print(
                f"category from runs of {ideas['events']:.1f} words: {_show(ideas)}; of one word "
                f"{ideas['single']:.4f}; items grouped at random {ideas['permuted']:.4f}, pooled in "
                f"random groups {ideas['pooled']:.4f} (p {_p(ideas['p_beyond'])})"
            )
        print(f"ceiling of single trials: {min(ceilings):.3f} to {max(ceilings):.3f}")
    for goal, met in result["goals"].items():
        print(f"{'met   ' if met else 'missed'} {goal}")


def _people(result: dict[str, Any]) -> None:
    others = [result[name]["each"] for name in ("own", "prior", "group") if name in result]
    names = [name for name in ("own", "prior", "group") if name in result]
    head = f"{'subject':<10} {'n':>5} {'today':>6} {'shuffled':>8} {'top-10':>6} {'bits/word':>9}"
    print(head + "".join(f" {name:>6}" for name in names))
    for i, row in enumerate(result["subjects"]):
        print(
            f"{row['subject']:<10} {row['n_test']:>5} {row['rank_accuracy']:>6.3f} "
            f"{row['shuffled']:>8.3f} {row['macro_top10']:>6.3f} {row['bits_per_word']:>9.4f}"
            + "".join(f" {each[i]:>6.3f}" for each in others)
        )


def _today(result: dict[str, Any]) -> None:
    print(
        f"today's map: mean rank accuracy {_show(result)}, shuffled {result['shuffled']:.4f}, "
        f"macro top-10 {result['macro_top10']:.3f} (chance {result['chance_top10']:.3f}), "
        f"bits a word beyond the prior {result['bits_per_word']:.4f}"
    )
    print(f"length and frequency regressed out of the targets: {_show(result['residual'])}")
    print(f"alpha of each subject alone, by bits: {_show(result['own_alpha'])}")
    print(f"alpha of each subject alone, by squared error: {_show(result['squared_error'])}")


def _maps(result: dict[str, Any]) -> None:
    told = {
        "own": "own data, each person's choice",
        "own_common": "own data, one setting for all",
        "prior": "own data and others', each person's choice",
        "group": "others' alone",
    }
    for name, what in told.items():
        if name not in result:
            continue
        scores = result[name]
        better = ""
        if "n_better" in scores:
            better = (
                f"; better than today's map in {scores['n_better']} of {len(scores['each'])} "
                f"(p {_p(scores['p_better'])})"
            )
        if (span := scores["interval"]) is not None:
            what += f" (95 %: {span[0]:.4f} to {span[1]:.4f})"
        print(f"{what}: {_show(scores)}, bits a word {scores['bits_per_word']:.4f}{better}")
        pools = {n: v for n, v in scores["repeats"].items() if v is not None}
        print("  repeats " + ", ".join(f"{n}: {value:.3f}" for n, value in pools.items()))
        for key, unit in ((f"{name}_trials", "trials"), (f"{name}_people", "other people")):
            if len(points := result.get(key, {})) > 1:
                print("  " + ", ".join(f"{n}: {v:.3f}" for n, v in points.items()) + f" ({unit})")
    if "own_shuffled" in result:
        print(f"own data, permuted labels: {result['own_shuffled']:.4f}")


def _show(score: dict[str, Any]) -> str:
    return f"{score['rank_accuracy']:.4f} (p {_p(score['p'])})"


def _p(p: float | None) -> str:
    return "n/a" if p is None else f"{p:.1e}"
