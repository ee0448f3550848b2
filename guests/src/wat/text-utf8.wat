;; Gives text back; keeps it in UTF-8.
;; world: text-guest
(module
  ;; include text.wat
  ;; include realloc.wat
)
