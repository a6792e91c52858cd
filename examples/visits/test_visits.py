import unittest

from visits import Visits


class VisitsTest(unittest.TestCase):
    def test_each_page_has_its_own_count(self):
        visits = Visits()
        self.assertEqual([visits.visit("home"), visits.visit("home"), visits.visit("about")], [1, 2, 1])

    def test_mistakes_are_told(self):
        with self.assertRaisesRegex(RuntimeError, "wrong number of arguments"):
            Visits().command("INCR")
