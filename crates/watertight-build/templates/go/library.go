// Package export_app_{{ident}}_greeting is the library's interface, as wit/world.wit has it.
package export_app_{{ident}}_greeting

import "app/{{name}}/greeting"

// Greet is a greeting for someone; for everyone if there is no name.
func Greet(name string) string { return greeting.Greet(name) }
