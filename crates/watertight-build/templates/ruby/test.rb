require "minitest/autorun"
require_relative "_greeting"

class GreetingTest < Minitest::Test
  def test_someone_is_greeted_by_name = assert_equal("Hello, Ada!", greet("Ada"))

  def test_everyone_is_greeted_without_one = assert_equal("Hello, world!", greet(""))
end
