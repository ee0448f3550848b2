;; Passes text on to another component; keeps it in UTF-16.
;; world: text-relay
;; strings: utf16
(module
  ;; include text-relay.wat
  ;; include realloc.wat
)
