/* models/wordpiece.h - BERT's tokenizer: BertNormalizer, BertPreTokenizer, WordPiece.
 *
 * Text is cleaned and lower-cased as the file says, split at white space, punctuation and ideographs, and each word is
 * cut into the longest tokens of the vocabulary from left to right; all but the first have the prefix "##". A word that
 * is too long or has a part without a token becomes the unknown token as a whole. */
#ifndef PEFT_MODELS_WORDPIECE_H
#define PEFT_MODELS_WORDPIECE_H

#include "models/tokenizer_kind.h"

extern const peft_tokenizer_kind peft_wordpiece;

#endif
