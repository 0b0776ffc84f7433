"""The loop of `tell_frequencies`, over variants and rows of an answer; compiled, or read from Numba's cache, by its first call.

A question about one variant waits for it, and a load has it go over every variant.
"""

# ruff: noqa: PLR0917 - a loop that is compiled whole takes its arrays one by one.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# The types of kernels stand in their Numba signatures.

from __future__ import annotations

from cohelix.stats.compiled import inlined, kernel

# Columns of an array of counts, in the order of `AlleleCounts`.
AN, AC, HET, HOM, HEMI, MISSING = range(6)
# Levels of an answer's rows; the cells of one level are told all together or not at all.
LEVEL_TOTAL, LEVEL_SEX, LEVEL_POPULATION, LEVEL_CELL = range(4)


@inlined
def _some_haploid(row, people, haploid_contig):
    """Whether anybody is, or may be, haploid.

    A fully called diploid person adds two to AN, a haploid or half-called one one; on a haploid contig each missing person may
    be a half-called one.
    """
    hidden = row[MISSING] if haploid_contig else 0
    return row[HEMI] > 0 or 2 * (people - row[MISSING]) + hidden > row[AN]


@inlined
def _stay_open(counts, people, levels, level, floor):
    """Whether a level's withheld genotypes stay open though its AC and AN and the total's het are told; of diploid people.

    Het has AC's parity and is at most the copies of either allele; the rows' het sum up to the total's. That leaves each row
    an interval of het, and of hom = (AC - het) / 2; none may lie within 1 … floor - 1.
    """
    lows, highs = 0, 0
    for r in range(people.size):
        if levels[r] == level and people[r] > 0:
            lows += counts[r, AC] % 2
            highs += min(counts[r, AC], counts[r, AN] - counts[r, AC])
    for r in range(people.size):
        if levels[r] == level and people[r] > 0:
            copies = counts[r, AC]
            low, high = copies % 2, min(copies, counts[r, AN] - copies)
            least = max(low, counts[0, HET] - (highs - high))
            most = min(high, counts[0, HET] - (lows - low))
            if least >= 1 and most < floor:
                return False
            if (copies - most) // 2 >= 1 and (copies - least) // 2 < floor:
                return False
    return True


@kernel("void(int64[:,:,::1], int64[::1], int64[::1], int64, boolean, boolean[:,::1], boolean[:,::1])")
def tell_rows(counts, people, levels, floor, haploid_contig, told_counts, told_genotypes):
    """Fill (variants, rows) `told_counts` and `told_genotypes`, which come all False; see `tell_frequencies`.

    Levels are bits of three numbers: those that have people, and those of which a row's counts, or genotypes, do not pass.
    """
    n_rows = people.size
    for v in range(counts.shape[0]):
        peopled, fails, genotypes_fail = 0, 0, 0
        for r in range(n_rows):
            if people[r] <= 0:
                continue
            bit = 1 << levels[r]
            peopled |= bit
            het, hom, hemi = counts[v, r, HET], counts[v, r, HOM], counts[v, r, HEMI]
            called = people[r] - counts[v, r, MISSING]
            # Carriers are people with a called copy of the ALT; non-carriers are fully called people without one.
            passes = counts[v, r, AC] - hom >= floor and called - het - hom - hemi >= floor
            # A genotype that cannot occur need not reach the floor.
            diploid = het + hom > 0 or counts[v, r, AN] > called
            haploid = _some_haploid(counts[v, r], people[r], haploid_contig)
            if not passes:
                fails |= bit
            if not passes or (diploid and (het < floor or hom < floor)) or (haploid and hemi < floor):
                genotypes_fail |= bit

        # Where the cells tell counts without genotypes, sexes and populations tell no genotypes either.
        cells = 1 << LEVEL_CELL
        if peopled & genotypes_fail & ~fails & cells:
            genotypes_fail |= ~(1 << LEVEL_TOTAL)
        # Nobody is told genotypes where the total's would give away those that a level withholds.
        open_total = peopled & ~genotypes_fail & (1 << LEVEL_TOTAL) != 0
        for level in range(LEVEL_SEX, LEVEL_CELL + 1):
            if open_total and peopled & genotypes_fail & ~fails & (1 << level):
                diploid = not _some_haploid(counts[v, 0], people[0], haploid_contig)
                open_total = diploid and _stay_open(counts[v], people, levels, level, floor)
        for r in range(n_rows):
            if people[r] > 0:
                told_counts[v, r] = not fails & (1 << levels[r])
                told_genotypes[v, r] = open_total and not genotypes_fail & (1 << levels[r])
