// Answers GET /NAME with a greeting. Each request has a memory of its own: nothing is left of the one before.
package main

import (
	"fmt"
	"net/http"

	"app/{{name}}/greeting"
)

// main runs before each request is answered; what it registers answers it.
func main() {
	http.HandleFunc("GET /{name...}", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Fprintln(answer, greeting.Greet(request.PathValue("name")))
	})
}
