# SPDX-License-Identifier: BSD-2-Clause
"""A storm of short processes: nothing is lost uncounted, the collector's memory is flat, a watched server's figures stay right."""
from harness import Test
from storm import RULES, Storm


class ShortProcesses(Test):
    def socket(self):
        return self.server.socket

    def test_beside_a_watched_server(self):
        self.server = self.collector({"rules": RULES})
        Storm(self, self.server).run(5)
