// Greets who is named in its arguments.
package main

import (
	"fmt"
	"os"

	"app/{{name}}/greeting"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		fmt.Println(greeting.Greet(name))
	}
}
