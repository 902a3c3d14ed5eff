# SPDX-License-Identifier: BSD-2-Clause
# common/metrics.def as the list of a man page: a paragraph per metric. The place for it is the line .\" @METRICS@.
/^METRIC\(/ {
	line = $0
	sub(/^METRIC\(/, "", line)
	split(line, cell, /, */)
	help = line
	sub(/^[^"]*"/, "", help)
	sub(/"\)[^"]*$/, "", help)
	gsub(/\\/, "\\\\", help)
	gsub(/-/, "\\-", help)
	printf ".TP\n.B %s\n%s, per %s, %s, cost %s: %s.\n", cell[1], tolower(cell[2]), tolower(cell[3]), tolower(cell[4]), tolower(cell[5]), help
}
