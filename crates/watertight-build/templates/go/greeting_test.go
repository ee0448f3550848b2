package greeting

import "testing"

func TestSomeoneIsGreetedByName(t *testing.T) {
	if got := Greet("Ada"); got != "Hello, Ada!" {
		t.Error(got)
	}
}

func TestEveryoneIsGreetedWithoutOne(t *testing.T) {
	if got := Greet(""); got != "Hello, world!" {
		t.Error(got)
	}
}
