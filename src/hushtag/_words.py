"""The word list `words-v1`: common, inoffensive words that stay apart when spoken.

In alphabetical order, never changed. Made by `vectors/generators/phrase_support/words.py`. The digest is SHA-256 of
the words, each followed by a line feed; the pronunciations are beside the generator.
"""

DIGEST = "135b360163dab87f2a550337bfa866c885a0fe5804f8d25f4fbef76e560a7c14"
_TEXT = """
abruptly absorption abstract abundant accept accomplish accordance acrobat actively actual adhesive
adjustment adrift adulthood advantage adventure advice advocate aerospace afresh afternoon agency agenda
agreement aircraft airfield airstrip algebra alkaline almanac alongside alternate ambitious amusement
ancestry anchovy anecdote angelic antique apparent applicant apprentice approval apricot aquatic aqueduct
arbiter archetypal architect argument armchair arrive artistic asphalt assembly assume asterisk astronaut
atmosphere attitude attractive audience award awareness awkward azalea background backpack backwoods
badminton banana bandwagon basement basic basketball beauty bedroom beforehand beholder benefit bilingual
billboard birthday blackberry blacksmith blanket blatantly blindfold blossom bluebird bluegrass bodyguard
bookcase bookshelf bookstore boomerang bootstrap borderline botany bottomless boundary boyhood brainstorm
breakfast bridesmaid briefly brightness brilliant broadcast brochure buffalo bulldog bulletin busiest
butterfly bystander calcium calculate camouflage campaigner candidly capable captain cardboard caretaker
cargo carnival carpentry cartoonist casserole catfish cautiously caveat celebrate celestial cellulose
centipede centrally centrifuge challenge chamber chandelier charity chemistry childhood chimpanzee chipmunk
chocolate circular classroom cleverness climactic climate clockwise closer clumsily coastline coconut cognac
cognitive coherent coincide coldest collector comment commitment commodore communal competent completion
complex compose comprehend compromise concerto conclusion concrete condition conducive confidence configure
confirm congruent conjugate consensus constant constrain contender context contractor contradict contrary
contribute convenient conversely conveyance corkscrew cosmetic cottonwood countless courageous courthouse
courtship courtyard craftsman creative credential crescendo critical crocodile crosswalk cubic cucumber
cuisine culminate cultural cumbersome curator customer daredevil darkness database deadline debut decade
decently decisive delightful demand dependent deposit describe deserve designate desktop detachment diagram
digestion dinosaur dioxide diploma directly disagree disclosure disconnect discreetly discussion disembark
disengage dishwasher dislodge dispersal dispute disruptive distance distinct division doctorate document
domestic donkey doorstep downgrade downhill drama dramatist drawbridge driftwood drinkable dubious dweller
dynamic easterly eccentric effective efficient eggplant elbow electron elongate embankment emblem emphasis
employment encompass encryption endlessly engagement engine enormous ensemble enterprise envelope environs
envisage epilogue equation equipment equity essential establish estate ethos eureka evasive evergreen
everywhere examine excellent excuse exercise exist expectant expedite expensive expertly explain explicit
expression exquisite external extinguish extraction extremely extricate fabulous falsetto familiar fanciful
fantastic fantasy farewell faster feedback festival fictitious financier fingernail firsthand flagpole
flamboyant flamingo flashlight flexible flimsy floral flotilla flourish fluctuate foolproof footpath
footprint forgetful forgot formation formative formula fortitude fortunate fragrant framework franchise
frankly freedom freelance frequently freshman freshwater friendship frontal fully functional furniture
fuselage fusion gallantry garden gasoline gazelle generic genius genre genuine getaway gingerly girlfriend
glamorous glassware globally glucose goalkeeper godmother godsend goldfish goodness gourmet gracefully
grader graduate grandson granular grapefruit grapevine gravity greatest greenhouse greyhound groundwork
guitar gymnastics habitat haddock hallmark hamburger handful handicraft handiwork haphazard happiness
hardwood headmaster headstrong heartfelt heavier hedgehog heroic herself highest histogram historic
homestead honeymoon hopefully horizon horsepower household housework humanely humanist hybrid hydraulic
hydrogen iceberg icebreaker ideal iguana imbalance immature impartial imperfect importance imprecise improve
inclusive index indulgent influence infrared infrequent inhabit inspector inspire institute instrument
insurer integral intention intersect interview intrepid intrinsic introvert investment involve journalist
juggernaut keynote kickoff kilowatt knowingly ladybug landlord landowner landscape largest lavender layout
leadership lecturer lengthwise lexicon liberty library lifespan lifetime limitless linguistic livestock
locale location logically lollipop longitude loophole lopsided lubricant lucrative lukewarm lullaby
lumberjack luxury machine magistrate magnetic magnify mainstream maintain makeshift mangrove manicure
manifest mankind manuscript marathon markedly marmalade mascara mastermind matchmaker matriarch matrix
meaningful medallion medieval membership membrane memory merchant messenger metallic microfilm microscope
microwave midnight midsummer migration milestone minimum mismatch mistaken modestly modulate molasses
molecule momentum mongoose monitor monochrome monthly moreover mosaic mosquito motherhood motionless
motivate motorbike mouthpiece multiply museum musically nationwide nautical nearby newborn newspaper
nickname nightclub nonchalant nonprofit northern northwest nostalgia noteworthy notice nowadays nuclei
nutcracker nutmeg nutrition nylon oblong observance occupy octagon offshoot offspring ongoing opportune
optimist orchestral outdated outgrown outlandish outnumber output outsider outsmart outwardly overall
overcast ozone pagoda pamphlet panhandle paperwork paraphrase partition partner passageway patrol patronage
peculiar pendulum penguin perfection perform permanent permissive personnel persuade photograph physicist
piecemeal piggyback pineapple pioneer piranha pivotal pizza plastic platinum plentiful plenty poignant
polygon popcorn porcelain porcupine portrait possibly postcard postscript powerful pragmatic precedence
precisely precision predict premature presently pretend prevention preview primary primeval primrose
privilege probable procedure produce productive profoundly profusely programmer prohibit prolific proofread
propagate properly proportion proposal prospect protocol province publisher pumpkin punchline punctual
purposeful pyramid quadratic quadruple qualify quantity quarterly quickest railway rainfall rainforest
randomness rapidly rebuild recipe recommend reconcile recreate rectangle recursive redesign reduction
reference refinement reflect reflexive refuse regain regardless regional register regulate reimburse
reinforce relative relentless relevant reminder remotely remove repayment replace replenish replica
represent reptile require resemble reservoir resistant resort respectful respond restaurant resurface
retrograde retrospect revamp rivalry roadblock romantic roundabout routinely safeguard sandpaper sandwich
sarcasm satellite sauerkraut saxophone scarecrow schedule scientist scorpion scramble scratchy sculpture
seamstress secretly secure seminar sensation separate sequence settlement shampoo sharply sidewalk signal
silver simplify simplistic sincerely sisterhood skateboard skeleton skyrocket skyscraper sleeveless slightly
smallest smattering smoothness snapshot snowflake snowstorm sodium software solution somebody soprano
soundtrack spacecraft spaceship spaghetti sparrow spatula specialist spectrum spellbound spherical splendid
spoken sponsor spoonful sporadic springtime squarely stagecoach staircase stalemate stamina standpoint
standstill starboard statute steadfast stimulus stoppage storeroom strategic strategy streamline streetcar
strengthen strenuous stringent strongest strongly structure studio stupendous subgroup subjective submarine
subscriber subsequent subsystem succeed successive succinct succulent suddenly suffix suggest sumptuous
sunflower sunglasses superstar supervise supply supporter surcharge surround survival suspension sustenance
swampy sweetheart symbolic synthesis synthetic tablecloth tablespoon tacitly talisman tangential tangerine
tantamount taxicab taxpayer teacher technical telephone temporal tendency textbook thankfully therefore
thermostat thesaurus threshold ticklish timetable tolerant tomato toothbrush toothpaste touchdown trademark
traffic trampoline transcript transfer transition transmit transport treadmill treasurer tremendous triangle
triumph trombone trumpet truthful tulip turbulent turmoil turnpike turtleneck twilight typewriter umbrella
unable unanswered unbroken uncertain unchanged unclear undamaged undefined underneath understood underwent
unfinished unforeseen unfounded uniform uninformed uniqueness universe unmarried unprepared unprovoked
unresolved unskilled untouched unwieldy upbeat upbringing upheld upstairs upstanding usefulness utmost
vagabond valid valuable varnish vehicle verbally verbatim verify victory viewpoint vigilance visually
vitamin vivacious volcanic volleyball volume volunteer voyager walrus wardrobe warranty waterfall waterfront
watermark waterproof waterworks wavelength westward whenever whimsical whitewash wholesale widespread
wilderness wildly window windshield withstand wonderful woodland woodpecker workbench workshop worldwide
wristwatch younger
"""
WORDS = tuple(_TEXT.split())
