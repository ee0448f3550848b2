import unittest

from greeting import greet


class Greeting(unittest.TestCase):
    def test_someone_is_greeted_by_name(self) -> None:
        self.assertEqual(greet("Ada"), "Hello, Ada!")

    def test_everyone_is_greeted_without_one(self) -> None:
        self.assertEqual(greet(""), "Hello, world!")


if __name__ == "__main__":
    unittest.main()
