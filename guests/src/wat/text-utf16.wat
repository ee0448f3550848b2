;; Gives text back; keeps it in UTF-16.
;; world: text-guest
;; strings: utf16
(module
  ;; include text.wat
  ;; include realloc.wat
)
