// Package greeting is what the component does, apart from how it is called: this can be tested anywhere.
package greeting

import "fmt"

// Greet greets someone, or everyone.
func Greet(name string) string {
	if name == "" {
		name = "world"
	}
	return fmt.Sprintf("Hello, %s!", name)
}
