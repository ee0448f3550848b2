;; Passes text on to another component; keeps it in UTF-8.
;; world: text-relay
(module
  ;; include text-relay.wat
  ;; include realloc.wat
)
